# find_package(playswarm) for CMake: the targets playswarm::playswarm (shared), playswarm::static where it is installed, and
# playswarm::cpp (the C++ header, over the shared library).
get_filename_component(_playswarm_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

find_path(_playswarm_include playswarm.h PATHS "${_playswarm_prefix}/include" NO_DEFAULT_PATH NO_CACHE)
file(GLOB _playswarm_shared "${_playswarm_prefix}/lib*/libplayswarm.so" "${_playswarm_prefix}/lib*/*/libplayswarm.so")
file(GLOB _playswarm_static "${_playswarm_prefix}/lib*/libplayswarm.a" "${_playswarm_prefix}/lib*/*/libplayswarm.a")

if(NOT _playswarm_include OR NOT _playswarm_shared)
    set(playswarm_FOUND FALSE)
    set(playswarm_NOT_FOUND_MESSAGE "playswarm.h or libplayswarm.so is missing below ${_playswarm_prefix}")
    return()
endif()

if(NOT TARGET playswarm::playswarm)
    list(GET _playswarm_shared 0 _playswarm_shared)
    add_library(playswarm::playswarm SHARED IMPORTED)
    set_target_properties(playswarm::playswarm PROPERTIES
        IMPORTED_LOCATION "${_playswarm_shared}"
        IMPORTED_SONAME libplayswarm.so.0
        INTERFACE_INCLUDE_DIRECTORIES "${_playswarm_include}")
    add_library(playswarm::cpp INTERFACE IMPORTED)
    set_target_properties(playswarm::cpp PROPERTIES
        INTERFACE_COMPILE_FEATURES cxx_std_17
        INTERFACE_LINK_LIBRARIES playswarm::playswarm)
    if(_playswarm_static)
        list(GET _playswarm_static 0 _playswarm_static)
        add_library(playswarm::static STATIC IMPORTED)
        set_target_properties(playswarm::static PROPERTIES
            IMPORTED_LOCATION "${_playswarm_static}"
            INTERFACE_INCLUDE_DIRECTORIES "${_playswarm_include}"
            INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl;c")
    endif()
endif()
