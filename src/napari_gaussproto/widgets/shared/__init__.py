"""What every dock uses: shared state, threads, choosers, small widgets."""
