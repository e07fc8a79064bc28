"""CDS Hooks 2.0: cards with a patient's risk, at the moment a physician opens the record or drafts an order.

`services` says what there is and what it needs; `hooks` reads a call; `cards` writes the answer; `clients` knows who
may call; `feedback` keeps what physicians did with the cards; `cors` lets their browsers in.
"""
