"""What the demo works on: a real project, and real tasks with a scenario each. Pure content; runs no factory."""
