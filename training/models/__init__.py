"""Risk models: plain torch and numpy, nothing that serving could not carry."""
