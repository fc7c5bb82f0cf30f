#!yaml|gpg
# For the minion that administers: the users of every role, and below them those that no role has.
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
