#!yaml|gpg
postgresql:
  users:
    analyst:
      password: |
        -----BEGIN PGP MESSAGE-----

        hF4DSMNSatgI6ZISAQdAjPHfXxjM1V1TwafWvVskFYiXL5iiHUr0UZweviuPo0Iw
        5r12+8UYmfkNRnWpqy4BWh7acJ19mfAVJfhzwQUzqS8uqbXRdRFmRSYEeObhdj/+
        0mYBEIHqrpVp3Sv2Iadd/2kw40eNtKrS/g/vXtAputjLpo8Fm2iCZl18dj5QsWB0
        LLxcpQVLnTWaeRI/v+GxZLxTAl7aKBvLBw/+hc7VMp9MJK2FDcMjJQcx4L6b342n
        JEp9/MqAXK4=
        =jmYX
        -----END PGP MESSAGE-----
