"""Execution backends of trials, cells and parts: in-process, worker processes, Ray."""
