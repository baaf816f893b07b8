"""The steps of a diagnosis, one module each: ``run(context)`` returns a StepResult and hands on what it found."""
