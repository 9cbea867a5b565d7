"""Where the server's time goes: flame graphs, a budget by stage, instruction counts. See docs/PROFILING.md."""
