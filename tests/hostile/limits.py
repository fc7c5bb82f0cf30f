"""What an attack needs to be possible at all."""


def from_major(first):
    """For an attack by something that only this major version and newer ones have."""

    def mark(test):
        test.first_major = first
        return test

    return mark


def with_admins(*admins):
    """For an attack that is possible with these admins only: "superuser", "hosted"."""

    def mark(test):
        test.admins = admins
        return test

    return mark


superuser_alone = with_admins("superuser")
hosted_alone = with_admins("hosted")
