#!yaml|gpg
postgresql:
  users:
    wiki:
      password: |
        -----BEGIN PGP MESSAGE-----

        hF4DSMNSatgI6ZISAQdA9bG8cfGxMC80YGT8pfnoWbVuHdHGvf5PL99C5KEsYAww
        9dps2aEdgiAH1/xtGbzUht18pj4vtwKdHXyJkD5U5kl/fZnPbaGxSGdvudmcz+qA
        0mYBH7v6RZjGWY//JdlWidkI0dg6oqsHEP/JYA6i4NqQLuYzpvdpyQTdXL1BCCCS
        /FBL4iDkZRxT7gKlaMpOLVd5gLJwXy6pIxVZkhSdrMjWBYjrNvxauOVEPimPkoH3
        NQ7n8q/8qyE=
        =exuB
        -----END PGP MESSAGE-----
