curl $KNIFY_URL/jobs/$JOB_ID \
-H "Authorization: Bearer $KNIFY_API_KEY"
