"""Who is owed what: channels, tiers, cohorts and the fragments of each beat. Pure; fragments are opaque bytes."""
