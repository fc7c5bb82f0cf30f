# Which node gets which files. This one administers the cluster, so it gets them all.
base:
  '*':
    - postgresql.*
    - secrets.*
