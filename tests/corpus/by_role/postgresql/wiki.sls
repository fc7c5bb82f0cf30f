postgresql:
  databases:
    wiki: wiki  # the secrets of wiki declare this user
  groups:
    wiki_readers: {access: {wiki: read}}
  users:
    wiki_app: {access: {wiki: write}, groups: [wiki_readers]}
