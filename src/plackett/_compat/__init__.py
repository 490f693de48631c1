"""Private interfaces of other libraries: one module per library, each naming the releases it was tested with."""
