#!/usr/bin/env python3
"""The owner's contract of the Feedback App with AUTH=optional and required, on both engines: the same
cases as without (api_test.py, postgres_test.py), shown with the operator's key."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import api_test  # noqa: E402
import postgres_test  # noqa: E402
from harness import main  # noqa: E402
from people_test import OPERATOR  # noqa: E402

setUpModule, tearDownModule = postgres_test.setUpModule, postgres_test.tearDownModule


class InMode:
    mode = "required"

    def app(self, env=None, **more):
        a = super().app({"AUTH": self.mode, "ADMIN_KEY": OPERATOR, **(env or {})}, **more)
        a.headers = {"Authorization": f"Bearer {OPERATOR}"}
        return a


class OptionalOwner(InMode, api_test.Owner):
    mode = "optional"


class RequiredOwner(InMode, api_test.Owner):
    pass


class OptionalContract(InMode, api_test.Contract):
    mode = "optional"


class RequiredContract(InMode, api_test.Contract):
    pass


class RequiredOwnerOnServer(InMode, postgres_test.Owner):
    pass


class RequiredContractOnServer(InMode, postgres_test.Contract):
    pass


if __name__ == "__main__":
    main()
