"""Networks, their parameters, normalisation, and the policy that is stored and served."""
