"""The service under load: `speed` beside its peers, `endurance` over a long time, `swap` while the champion changes.

`load` makes the requests.
"""
