"""The command ``pgpillar``: what a pull request on pillar does, told without a server.

Salt compiles the pillar and the core judges it; here the two are brought together and shown.
"""
