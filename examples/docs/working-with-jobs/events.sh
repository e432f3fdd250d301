curl $KNIFY_URL/jobs/$JOB_ID/events \
-H "Authorization: Bearer $KNIFY_API_KEY"
