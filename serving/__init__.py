"""The chosen model behind HTTP.

The way of a request through this package, each step a module:

    store       artifacts into BentoML's model store, and out of it
    champions   which model serves, as the registry exports it      following   the model that serves, and its successor
    messages    what a request and an answer may say (pydantic)
    refusals    what is wrong with a request: the field and the rule, never the value
    packed      requests with many cells, in a binary body
    answer      the answer to a request, without HTTP           explaining  why these risks
    card        the model card                                  request_schema  JSON Schema of requests to the model
    scores      published scores and grades, without a model; their messages, cards and counts in score_*
    openapi     the OpenAPI document
    access      who may ask for what, and how often (ASGI)      keys   what is kept of callers' keys
    watched     a file that may change while it is in use
    guard       limits on requests before anything reads them (ASGI)
    predicting  predictions as the service makes them     batching  what waits at the same time is answered together
    asking      a request's id and key (ASGI)     counts   what /metrics tells     json_log   lines of the log
    audit       who asked for whom                use      what came, counted, to be compared with training
    ledger      what was predicted, kept until outcomes come       shadow   a challenger that answers for the ledger
    pseudonyms  patients under another name, in audit and ledger
    time_limit  504 where no answer begins in time (ASGI)     workers  those that die are replaced
    day_files   files of a day, and how long they are kept     environment  numbers that it gives
    service     the BentoML service, which only wires the above

client, on the other side, asks a service.

It needs numpy, pydantic, safetensors, torch and bentoml, and imports nothing of what trains.
"""
