"""Slow readers behind the proxies of `deploy/proxies`, beside slow readers without one."""
