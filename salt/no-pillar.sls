# In place of every role's states, where a minion has a role and was given no pillar
no pillar:
  test.fail_without_changes:
    - comment: >-
        This minion was given no pillar under 'postgresql', so nothing was changed. Pillar comes from the master;
        salt-call --local asks none. Is the master up, and does salt-call pillar.items show it?
