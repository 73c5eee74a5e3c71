"""The sentences of the shipped policies, where the translators' tools find them: they do not read `.cedar` files."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

SENTENCES = (
    _("Emergency access needs two factors, used within the last five minutes."),
    _("Sign in again with a passkey or a code."),
    _("Changing how you sign in needs a proof of who you are from the last five minutes."),
    _("Prove who you are again."),
    _("Changing how others sign in needs a proof of who you are from the last quarter of an hour."),
    _("This is restricted: it needs a second factor that is at most 15 minutes old."),
    _("Prove who you are again with a passkey or a one-time code."),
    _("This data is kept for another purpose than the one that was stated."),
    _("Its owner can say whether your purpose is covered, and change what the catalogue says."),
    _("It is not known what kind of pool this is."),
    _("The platform's administrator describes the pool under Placement."),
    _("This data is not in the catalogue, so it does not leave the private pools."),
    _("Register it with a label; then the label decides."),
    _("Confidential and restricted data never reaches a public pool."),
    _("Use a private or edge pool, or have the data declassified by two people."),
    _("Restricted health data stays at its edge node."),
    _("Run this at the edge pool of the region that the catalogue names for the data."),
    _("This data must stay in its region, and the pool is elsewhere."),
    _("Use a pool of that region; the platform's administrator says which region a pool is in."),
    _("Health data needs a pool that is certified for hipaa."),
    _("The platform's administrator enters a pool's certificates under Placement."),
    _("Payment data needs a pool that is certified for pci-dss."),
    _("This restricted data is kept for one purpose, and the work does not say what it is for."),
    _("State the purpose with the request; it must be the one that the catalogue names."),
    _("You asked for this yourself, so somebody else must decide."),
    _("Anybody else with the right to decide can do it."),
    _("The device does not comply with your company's rules."),
    _("Ask your company's device management; access comes back as soon as the device complies."),
    _("Something about this session has changed: identity must be proven again."),
    _("Sign in again."),
)
