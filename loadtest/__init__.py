"""Load tests: a feeder, a swarm of clients and a gateway under test, measured from outside.

Knows the settings and the public protocol of the gateway, not its internals (but for the micro-benchmarks).
"""
