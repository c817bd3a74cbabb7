"""Load tests: a feeder, a swarm of clients and a gateway under test, measured from outside.

A product of its own: it knows the gateway's settings and its public protocol, never its inside.
"""
