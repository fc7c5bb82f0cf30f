#!yaml|gpg
include:
  - secrets.postgresql-users.*
postgresql:
  users:
    shop:
      password: |
        -----BEGIN PGP MESSAGE-----

        hF4DSMNSatgI6ZISAQdA0mqIfcakyfm7da4sKBiGTeIucW+fuOsmv7Cm98AimQIw
        jnEqbzjA008dvzFpcSwcNKdKXQxrzbwF/aXUlTkaFuzLiMQke7Ed1ivMPG/xub2S
        0mYBCsKqup9Tqy0+2HnQqHB0MjOe8K/KgPAX5Cw0Eda+Hz7Nn34tL1Y1V4LpNYOw
        RkIN4IXADNwxTrrqPhLSzGzr7wrkom6Dzei5wGANFjODigAagS62Mr8Qk+sAbtyz
        uw+zHMZjN+Y=
        =GMat
        -----END PGP MESSAGE-----
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
