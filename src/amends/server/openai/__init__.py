"""``/openai/v1``: what OpenAI's own client needs to work here with another base URL.

Refused requests answer 400 and name the parameter, as that client expects; everything else is the catalogue's, in its dialect.
"""
