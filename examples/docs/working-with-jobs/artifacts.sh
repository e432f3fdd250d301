curl $KNIFY_URL/jobs/$JOB_ID/artifacts \
-H "Authorization: Bearer $KNIFY_API_KEY"
