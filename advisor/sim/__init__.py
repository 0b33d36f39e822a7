"""The discrete-event model of replicas that batch, load adapters, decode and preempt."""
