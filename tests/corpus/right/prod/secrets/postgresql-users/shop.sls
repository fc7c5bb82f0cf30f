#!yaml|gpg
postgresql:
  users:
    shop_app:
      password: |
        -----BEGIN PGP MESSAGE-----

        hF4DSMNSatgI6ZISAQdA+s/pDVoC0MeHrkA/dFw4TApSyQJVbY3KRqjMMPIj2QEw
        Z6FW6OuNOzLK6ETxf40cA/7LzUvYKz1wjv+NSbuQ6tRTbu4/NJUE49Yfx3N/0VgT
        0mYBtilaAkCR/t3p7R7pVtpz7uZ4gj+U5J7u0xwJxokuMKCEXWphvZq5jZk3ouC4
        Pq7UyLbM+c8pSVyq5m5EOmeYGuuJ20P62oJKnZqdpfhFxpfsS2CtfQo70JqyHQrt
        KSpwt8ESBXk=
        =pEbv
        -----END PGP MESSAGE-----
