"""What the pages of cohorts and of runs share: one HTML file that needs no other file, no network and no script.

shell      sections, headings, and the page around them
drawing    figures as inline SVG, in the colours of the page
tables     tables, and numbers in words
curves     incidence with its band, numbers at risk, follow-up
arms       incidence by arm, and who is at risk
privacy    what may be shown of real patients
"""
