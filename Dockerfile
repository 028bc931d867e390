# JupyterLab with the course, on a CPU:  docker build -t salmonn-mini . && docker run -p 127.0.0.1:8888:8888 salmonn-mini
FROM python:3.12-slim
RUN useradd --create-home student
WORKDIR /home/student/course
COPY --chown=student . .
RUN chown student .
USER student
RUN python tools/make.py env --cpu
EXPOSE 8888
CMD ["python", "tools/make.py", "lab", "--no-browser", "--ip=0.0.0.0"]
