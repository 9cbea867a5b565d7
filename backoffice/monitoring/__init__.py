"""What payments are watched for: large amounts, structuring, and the reports that follow."""
