curl -N $KNIFY_URL/jobs/$JOB_ID/cursor/stream \
-H "Authorization: Bearer $KNIFY_API_KEY"
