"""The same as the runbook, for pytest."""

import browser


def test_a_user_can_be_created() -> None:
    user = browser.config()["user"]
    with browser.application() as url, browser.session("test-users", url) as session:
        session.open("/users/new")
        session.page.get_by_label("Name").fill(user["name"])
        session.page.get_by_label("Email").fill(user["email"])
        session.page.get_by_role("button", name="Create user").click()
        session.page.get_by_text("User created").wait_for()
        assert user["email"] in session.page.content()
