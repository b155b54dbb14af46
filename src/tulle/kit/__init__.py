"""Small tools without a domain. Imports nothing of ours."""
