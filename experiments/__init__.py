"""Many runs: configuration, cross-validation, tracking, comparison, promotion; the command line.

cli/           `sequela`, one module a group of commands; everything heavy is imported when a command runs
config, home   a run's YAML, resolved; where stores live
data           cohort to training rows               crossval      out-of-fold predictions, resumable
train          one run from YAML to artifact         assist        the part of other processes in it
pretrain       the in-context network trained on simulated cohorts, tracked
leaks          features that know the outcome        scoring, usefulness, pipeline_test   what a run finds
thresholds     where tiers of risk begin, searched within what a clinician accepts
run_report     a run's tables and figures            run_page/     its page, and the model card
log_items      what is logged, as a pure stream      tracking/     runs on disk, until they are delivered
courier, courier_process   who delivers them          store/        MLflow's store: the one interpreter, finding runs
services       servers as child processes            requesting     a cohort sent to a service
drift/         what a service meets, against training             follow_up/     its predictions, against outcomes
windows, gauges   days, weeks and months of it; alerts for Prometheus
effects/       arms of treatment compared
logged_model   the artifact as an MLflow model       ui_views, ui_links   what MLflow's pages show
run_files, written_predictions   a finished run, read again
comparing/     leaderboard, paired differences, what cells add
promotion/     gates, the champion, who served when
reproduction/  a run made again
sweeps/        a space of runs: checked, shared by workers, its best corrected for being chosen
cohort_report/ the page of a cohort                  page/         what both pages share
doctor/        what is installed, and what is wrong  demo          the whole way on the embedded cohort
commented, new_run, schemas   configurations for people and editors
"""
