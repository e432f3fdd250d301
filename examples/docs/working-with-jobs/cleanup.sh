curl -X POST $KNIFY_URL/jobs/$JOB_ID/cleanup \
-H "Authorization: Bearer $KNIFY_API_KEY"
