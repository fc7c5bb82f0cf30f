# What the agents encrypt with what they tell one another: no-secret-in-dev.
consul:
  key: bm8tc2VjcmV0LWluLWRldg==
