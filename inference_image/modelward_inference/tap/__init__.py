"""The tap: a proxy in the pod of another server than ours, which passes every byte on and hands the monitor copies."""
