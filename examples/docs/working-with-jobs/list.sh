curl $KNIFY_URL/jobs \
-H "Authorization: Bearer $KNIFY_API_KEY"
