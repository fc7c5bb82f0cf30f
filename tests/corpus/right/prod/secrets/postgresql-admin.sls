#!yaml|gpg
postgresql:
  clusters:
    main:
      admin:
        password: |
          -----BEGIN PGP MESSAGE-----

          hF4DSMNSatgI6ZISAQdAsgxEe2A9TKgiCHwbHVhjBqIHaC4C4R+KYdkWHLREwDow
          qDDhJUn1bCPirojk7nyC2FiI9o7Hkxm1ZfBHSqKPYTWYDUDlzsQUBR1nibOXam8H
          0mYBfUZPJQVM66o3eu+9/1LcvBOQtvFwn2nUFm0eQwQoY1eCu7NmBvrGOCFfOEP6
          J7eRdXko7eWG7Syy0AwTZYy3/VeUW61Xcc4OGkfc6QefNDKhgW/2IbSjdLO4k2dV
          BRJZ55AqKno=
          =t5HT
          -----END PGP MESSAGE-----
