#!/bin/sh
# Makes the demo's clip: 36 s of a zoom into the Mandelbrot set with a running clock, and a rising scale of pure tones.
# Everything in it is computed; needs ffmpeg with libx264, aac, drawtext.   Usage: make-clip.sh OUT.mp4
set -eu
nice ffmpeg -v error -y \
  -f lavfi -i "mandelbrot=size=640x360:rate=24:maxiter=900:start_scale=2.6:end_scale=0.02:end_pts=864" \
  -f lavfi -i "aevalsrc=exprs='0.12*sin(2*PI*t*220*pow(2\,floor(mod(t\,12))/12))*(0.6+0.4*cos(2*PI*t))':s=44100:c=mono" \
  -t 36 -vf "hue=h=10*t,drawtext=text='%{pts\:hms}':fontsize=54:fontcolor=white:borderw=3:bordercolor=black:x=24:y=20,drawtext=text='playswarm':fontsize=26:fontcolor=white@0.8:borderw=2:bordercolor=black:x=w-tw-24:y=h-44,drawbox=x=0:y=ih-6:w=iw:h=6:color=black@0.5:t=fill" \
  -c:v libx264 -preset medium -profile:v high -pix_fmt yuv420p -g 48 -b:v 1500k -maxrate 1900k -bufsize 2000k \
  -c:a aac -b:a 96k -movflags +faststart -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
  -metadata title="playswarm demo clip (CC0)" "$1"
