#!/bin/sh
# A package that is installed while an image is built must not start its service.
exit 101
