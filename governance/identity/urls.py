"""Signing in, one's own account, and the console's pages about both."""

from django.urls import path

from governance.identity.views import account, again, console, sign_in

urlpatterns = [
    path("accounts/login/", sign_in.SignIn.as_view(), name="login"),
    # allauth's own names of pages that it leads to.
    path("accounts/login/", sign_in.SignIn.as_view(), name="account_login"),
    path("accounts/second-factor/", sign_in.SecondFactor.as_view(), name="mfa_authenticate"),
    path("accounts/passkey/", sign_in.PasskeySignIn.as_view(), name="mfa_login_webauthn"),
    path("accounts/logout/", sign_in.SignOut.as_view(), name="logout"),
    path("accounts/company/", sign_in.company, name="company-sign-in"),
    path("accounts/company/<uuid:provider_id>/", sign_in.company_begin, name="company-begin"),
    path("accounts/company/<uuid:provider_id>/callback/", sign_in.company_callback, name="company-callback"),
    path("accounts/password/", account.ChangePassword.as_view(), name="password-change"),
    path("accounts/reauthenticate/", again.reauthenticate, name="reauthenticate"),
    path("account/security/", account.security, name="account-security"),
    path("account/security/due/", account.second_factor_due, name="second-factor-due"),
    path("account/security/totp/", account.totp, name="account-totp"),
    path("account/security/passkeys/", account.passkey, name="account-passkey"),
    path("account/security/factors/<int:factor_id>/rename/", account.rename, name="account-factor-rename"),
    path("account/security/factors/<int:factor_id>/remove/", account.remove, name="account-factor-remove"),
    path("account/security/recovery-codes/", account.recovery_codes, name="account-recovery-codes"),
    path("account/security/sessions/end/", account.end_other_sessions, name="account-sessions-end"),
    path("account/security/sessions/<uuid:session_id>/end/", account.end_session, name="account-session-end"),
    path("console/identity/providers/", console.provider_list, name="identity-providers"),
    path("console/identity/providers/new/", console.provider_new, name="identity-provider-new"),
    path("console/identity/providers/<uuid:provider_id>/", console.provider_change, name="identity-provider"),
    path("console/identity/rules/", console.rules, name="identity-rules"),
    path("console/identity/sessions/", console.session_list, name="identity-sessions"),
    path(
        "console/identity/sessions/<uuid:session_id>/end/", console.session_end, name="identity-session-end"
    ),
    path("console/identity/people/", console.people, name="identity-people"),
    path("console/identity/people/<uuid:user_id>/reset/", console.person_reset, name="identity-person-reset"),
    path(
        "console/identity/people/<uuid:user_id>/end-sessions/",
        console.person_end_sessions,
        name="identity-person-end-sessions",
    ),
]
