"""CDS Hooks 2.0: cards with a patient's risk, at the moment a physician opens the record or drafts an order.

`services` says what there is and what it needs; `hooks` reads a call, `orders` what is being ordered; `cards` writes
the answer; `clients` knows who may call, by `client_keys`; `feedback` keeps what physicians did with the cards that
were `shown`; `cors` lets their browsers in.
"""
