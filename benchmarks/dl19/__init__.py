"""Published figures of TREC DL 2019."""
