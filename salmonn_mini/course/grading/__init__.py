"""Marking a folder of submitted notebooks: each runs in a process of its own, and another one judges what it returns.

The rules of `course.exercises` run in the judge (`judge`), which no submission can reach. A student's functions run in
their own process (`student`), within limits (`limits`); what they return comes back as plain data (`wire`). So a
submission can print or patch what it likes: only right values make a ✓.
"""
