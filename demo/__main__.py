"""python -m demo [run | clean | picture]"""

import argparse
import sys

from demo import picture, place, run, show
from devtools.embedded import Failed
from pgpillar.model import Trouble


def converge():
    """Make or mend the private server and two app nodes, converge them, and show what pillar promises."""
    with place.locked(place.find()) as where:
        run.Demo(where, show.console()).run()


def clean():
    """Stop all that runs, and remove all that the demo made."""
    if place.exists():
        with place.locked(place.find()) as where:
            run.Demo(where, show.console()).remove()
        place.remove()


VERBS = {"run": converge, "clean": clean, "picture": picture.take}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m demo", description=run.__doc__)
    parser.add_argument("verb", nargs="?", choices=VERBS, default="run")
    try:
        VERBS[parser.parse_args(arguments).verb]()
    except (Failed, Trouble, OSError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndemo: interrupted; the next run takes it up again")


if __name__ == "__main__":
    main()
